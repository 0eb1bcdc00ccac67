// The page of `segtrain view`: sends an image to the server it came from, and shows what was found in it.
// Names of files, classes and warnings are only ever set as text, never as markup.

const $ = id => document.getElementById(id)
const stage = $("stage"), ink = stage.getContext("2d")
const hidden = new Set()
let about, file, found, sending, clock
// Where the image lies on the stage: px of the screen per px of the image, and its upper left corner.
const at = { scale: 1, x: 0, y: 0 }

const opened = bytes => new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer()
const decoded = text => Uint8Array.from(atob(text), c => c.charCodeAt(0))
const rgb = colour => [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16))
const made = (tag, text = "", parts = {}) => Object.assign(document.createElement(tag), { textContent: text, ...parts })

// ---- asking ----

async function segment(wanted, scale) {
  sending?.abort()
  const mine = sending = new AbortController()
  say("")
  // What is shown is always of the file that is named: one that fails leaves nothing of the one before.
  if (wanted !== file) clear(wanted)
  if (wanted.size > about.most_bytes) return say(`${wanted.name}: the file is over ${about.most_bytes >> 20} MiB, the ` +
    "most that this page takes; cut it into fields, or use `segtrain predict` and `segtrain count`.")
  wait(`Segmenting ${wanted.name}`)
  try {
    const query = new URLSearchParams({ name: wanted.name, um_per_px: scale })
    const answer = await fetch(`segment?${query}`, { method: "POST", body: wanted, signal: mine.signal })
    const told = await answer.json()
    if (!answer.ok) throw new Error(told.error)
    const next = await prepared(told)
    if (mine !== sending) return
    const again = !!found
    found = next
    show(again)
  } catch (error) {
    if (mine === sending) say(error instanceof TypeError ? "segtrain does not answer; is it still running?" : error.message)
  } finally {
    if (mine === sending) wait("")
  }
}

async function prepared(told) {
  const picture = Object.assign(new Image(), { src: told.image })
  await picture.decode()
  const [classes, cells] = await Promise.all([told.classes, told.cells].map(text => opened(decoded(text))))
  const layer = () => new OffscreenCanvas(told.width, told.height)
  return { ...told, picture, classes: new Uint8Array(classes), cells: new Uint32Array(cells), fills: layer(), rims: layer() }
}

function wait(doing) {
  clearInterval(clock)
  $("busy").hidden = !doing
  $("empty").hidden = !!(doing || found)
  if (!doing) return
  $("doing").textContent = `${doing} …`
  clock = setInterval(async () => {
    const answer = await fetch("progress").catch(() => undefined)
    const share = answer?.ok ? (await answer.json()).share : 0
    $("doing").textContent = share < 1 ? `${doing} … ${Math.round(100 * share)} %` : "Counting cells …"
  }, 1000)
}

function clear(next) {
  file = next
  found = undefined
  $("name").textContent = next.name
  for (const id of ["tools", "found", "downloads", "tip"]) $(id).hidden = true
  showScale()
  list()
  draw()
}

function say(sentence) {
  $("error").textContent = sentence
  $("error").hidden = !sentence
}


// ---- the image ----

// Each class in its colour, and the rim of each cell darker, so that cells that touch are told apart.
function paint() {
  const { width, height, cells } = found
  const counted = [0, ...found.objects.map(cell => cell.class)]
  const classes = $("kind").querySelector(":checked").value === "cells" ? cells.map(cell => counted[cell]) : found.classes
  const fill = new Uint32Array(256), rim = new Uint32Array(256)
  for (const { id, colour } of about.classes) if (id && !hidden.has(id)) {
    const [r, g, b] = rgb(colour), dark = value => value * 0.55 | 0
    fill[id] = (255 << 24 | b << 16 | g << 8 | r) >>> 0
    rim[id] = (255 << 24 | dark(b) << 16 | dark(g) << 8 | dark(r)) >>> 0
  }
  const fills = new Uint32Array(width * height), rims = new Uint32Array(width * height)
  for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i++) {
    const cell = cells[i]
    const inside = !cell || ((x === 0 || cells[i - 1] === cell) && (x === width - 1 || cells[i + 1] === cell) &&
      (y === 0 || cells[i - width] === cell) && (y === height - 1 || cells[i + width] === cell))
    if (inside) fills[i] = fill[classes[i]]
    else rims[i] = rim[classes[i]]
  }
  for (const [layer, pixels] of [[found.fills, fills], [found.rims, rims]])
    layer.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width, height), 0, 0)
}

function draw(over) {
  const density = devicePixelRatio || 1
  const wide = Math.round(stage.clientWidth * density), high = Math.round(stage.clientHeight * density)
  if (stage.width !== wide || stage.height !== high) Object.assign(stage, { width: wide, height: high })
  ink.setTransform(1, 0, 0, 1, 0, 0)
  ink.clearRect(0, 0, wide, high)
  if (!found) return
  ink.setTransform(density * at.scale, 0, 0, density * at.scale, density * at.x, density * at.y)
  ink.imageSmoothingEnabled = at.scale * density < 2
  ink.imageSmoothingQuality = "high"
  ink.drawImage(found.picture, 0, 0)
  const strength = $("opacity").value / 100
  ink.globalAlpha = strength
  ink.drawImage(found.fills, 0, 0)
  ink.globalAlpha = Math.min(1, 2.5 * strength)
  ink.drawImage(found.rims, 0, 0)
  ink.globalAlpha = 1
  if (over) mark(over)
  ink.setTransform(density, 0, 0, density, 0, 0)
  drawScaleBar()
  $("zoom").textContent = `${Math.round(at.scale * 100)} %`
}

function mark({ x, y, width, height }) {
  for (const [colour, thick] of [["#fff", 4], ["#1f1b24", 2]]) {
    ink.strokeStyle = colour
    ink.lineWidth = thick / at.scale
    ink.strokeRect(x, y, width, height)
  }
}

function drawScaleBar() {
  const perUm = at.scale / found.um_per_px
  const um = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find(length => length * perUm >= 60) ?? 2000
  const long = um * perUm, x = 14, y = stage.clientHeight - 16
  ink.fillStyle = "rgb(255 255 255 / .85)"
  ink.fillRect(x - 6, y - 22, long + 12, 32)
  ink.fillStyle = "#1f1b24"
  ink.fillRect(x, y, long, 3)
  ink.font = '12px system-ui, "DejaVu Sans", sans-serif'
  ink.textAlign = "center"
  ink.fillText(`${um} µm`, x + long / 2, y - 6)
}

function place(scale, x, y) {
  const smallest = Math.min(1, fitting()) / 4
  at.scale = Math.min(40, Math.max(smallest, scale))
  at.x = x
  at.y = y
  // Part of the image always stays in sight.
  const margin = 40
  at.x = Math.min(stage.clientWidth - margin, Math.max(margin - found.width * at.scale, at.x))
  at.y = Math.min(stage.clientHeight - margin, Math.max(margin - found.height * at.scale, at.y))
  draw()
}

const fitting = () => Math.min(stage.clientWidth / found.width, stage.clientHeight / found.height)

function fit() {
  const scale = fitting()
  place(scale, (stage.clientWidth - found.width * scale) / 2, (stage.clientHeight - found.height * scale) / 2)
}

function zoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  if (!found) return
  const before = at.scale
  const scale = Math.min(40, Math.max(Math.min(1, fitting()) / 4, before * factor))
  place(scale, x - (x - at.x) * scale / before, y - (y - at.y) * scale / before)
}

// ---- what was found ----

function show(again) {
  for (const id of ["tools", "found", "downloads"]) $(id).hidden = false
  $("name").textContent = `${found.name}, ${found.width} × ${found.height} px`
  paint()
  again ? draw() : fit()
  list()
  $("warnings").replaceChildren(...found.warnings.map(text => made("li", text)))
  $("summary").hidden = !found.summary.length
  $("warnings").hidden = !found.warnings.length
  $("summary").tBodies[0].replaceChildren(...found.summary.map(({ name, value, interval, part }) => {
    const row = made("tr")
    row.append(made("td", name, { className: part ? "text part" : "text" }), made("td", value), made("td", interval))
    return row
  }))
  showScale()
  const stem = found.name.replace(/\.[^.]*$/, "")
  offer($("csv"), [found.csv], "text/csv", `${stem}_objects.csv`)
  offer($("png"), [decoded(found.label.split(",")[1])], "image/png", `${stem}_label.png`)
}

// That of what is shown; before, the one that the next image will be given.
function showScale() {
  $("scale").textContent = found?.scale ?? ""
  $("um").value = found ? String(Number(found.um_per_px.toPrecision(3))) : about.um_per_px === "auto" ? "" : about.um_per_px
}

function offer(link, parts, type, name) {
  if (link.href) URL.revokeObjectURL(link.href)
  Object.assign(link, { href: URL.createObjectURL(new Blob(parts, { type })), download: name })
}

function list() {
  $("legend").tBodies[0].replaceChildren(...about.classes.filter(({ id }) => id).map(({ id, name, colour }) => {
    const box = made("input", "", { type: "checkbox", checked: !hidden.has(id), value: id })
    box.addEventListener("change", () => {
      box.checked ? hidden.delete(id) : hidden.add(id)
      if (found) { paint(); draw() }
    })
    const chip = made("span", "", { className: "chip" }), label = made("label")
    chip.style.background = colour
    label.append(box, chip, name)
    const row = made("tr"), first = made("td", "", { className: "text" }), count = found?.counts[id] ?? 0
    first.append(label)
    row.append(first, made("td", found ? count.toLocaleString("en") : ""))
    row.className = found && !count ? "none" : ""
    return row
  }))
  $("legend-note").textContent = found?.note ?? ""
}

function cellAt(event) {
  const box = stage.getBoundingClientRect()
  const x = Math.floor((event.clientX - box.left - at.x) / at.scale), y = Math.floor((event.clientY - box.top - at.y) / at.scale)
  if (!found || x < 0 || y < 0 || x >= found.width || y >= found.height) return
  const cell = found.objects[found.cells[y * found.width + x] - 1]
  return cell && !hidden.has(cell.class) ? cell : undefined
}

function hover(event) {
  const cell = cellAt(event), tip = $("tip")
  tip.hidden = !cell
  if (found) draw(cell)
  if (!cell) return
  tip.replaceChildren(made("strong", about.classes.find(({ id }) => id === cell.class).name),
    `${cell.area_um2.toFixed(1)} µm², confidence ${cell.confidence.toFixed(2)}`)
  if (cell.note) tip.append(made("br"), cell.note)
  // Beside the cell where there is room, so that the cell itself stays in sight.
  const left = at.x + cell.x * at.scale - tip.offsetWidth - 8, right = at.x + (cell.x + cell.width) * at.scale + 8
  const within = (value, most) => `${Math.max(4, Math.min(value, most - 4))}px`
  tip.style.left = within(right + tip.offsetWidth < stage.clientWidth || left < 0 ? right : left, stage.clientWidth - tip.offsetWidth)
  tip.style.top = within(at.y + cell.y * at.scale, stage.clientHeight - tip.offsetHeight)
}

// ---- the person ----

const pointers = new Map()

stage.addEventListener("pointerdown", event => {
  stage.setPointerCapture(event.pointerId)
  pointers.set(event.pointerId, event)
})
stage.addEventListener("pointermove", event => {
  const before = pointers.get(event.pointerId)
  if (!before || !found) return hover(event)
  $("tip").hidden = true
  pointers.set(event.pointerId, event)
  if (pointers.size === 1) return place(at.scale, at.x + event.clientX - before.clientX, at.y + event.clientY - before.clientY)
  const [other] = [...pointers.values()].filter(({ pointerId }) => pointerId !== event.pointerId)
  const apart = ({ clientX, clientY }) => Math.hypot(clientX - other.clientX, clientY - other.clientY)
  const box = stage.getBoundingClientRect()
  zoom(apart(event) / (apart(before) || 1), other.clientX - box.left, other.clientY - box.top)
})
for (const kind of ["pointerup", "pointercancel"]) stage.addEventListener(kind, event => pointers.delete(event.pointerId))
stage.addEventListener("pointerleave", () => { $("tip").hidden = true; draw() })
stage.addEventListener("wheel", event => {
  event.preventDefault()
  const box = stage.getBoundingClientRect()
  zoom(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 200), event.clientX - box.left, event.clientY - box.top)
}, { passive: false })
stage.addEventListener("keydown", event => {
  const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key]
  const press = { "+": "in", "=": "in", "-": "out", 0: "fit", 1: "full" }[event.key]
  if (!found || event.ctrlKey || event.metaKey || !(step || press)) return
  event.preventDefault()
  step ? place(at.scale, at.x + step[0], at.y + step[1]) : $(press).click()
})

$("in").addEventListener("click", () => zoom(1.5))
$("out").addEventListener("click", () => zoom(1 / 1.5))
$("fit").addEventListener("click", () => found && fit())
$("full").addEventListener("click", () => zoom(1 / at.scale))
$("opacity").addEventListener("input", strength)
$("kind").addEventListener("change", () => { if (found) { paint(); draw() } })
new ResizeObserver(() => draw()).observe(stage)

function strength() {
  $("strength").textContent = `${$("opacity").value} %`
  draw()
}

function take(files) {
  if (files.length) segment(files[0], about.um_per_px)
}

$("choose").addEventListener("click", () => $("file").click())
$("file").addEventListener("change", () => { take($("file").files); $("file").value = "" })
addEventListener("paste", event => take(event.clipboardData.files))
for (const kind of ["dragenter", "dragover"]) addEventListener(kind, event => {
  event.preventDefault()
  $("frame").classList.add("over")
})
addEventListener("dragleave", event => { if (!event.relatedTarget) $("frame").classList.remove("over") })
addEventListener("drop", event => {
  event.preventDefault()
  $("frame").classList.remove("over")
  take(event.dataTransfer.files)
})
$("rescale").addEventListener("submit", event => {
  event.preventDefault()
  const wanted = $("um").value.trim().replace(",", ".")
  about.um_per_px = wanted || "auto"
  if (file) segment(file, about.um_per_px)
})
$("auto").addEventListener("click", () => { $("um").value = ""; $("rescale").requestSubmit() })

// ---- to begin ----

about = await (await fetch("about")).json()
$("run").textContent = about.run
$("limits").textContent = `${about.formats}; up to ${about.most_bytes >> 20} MiB and ${about.most_pixels / 1e6} megapixels.`
showScale()
list()
strength()
