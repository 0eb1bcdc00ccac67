"""Groups joined by links, against a naive graph."""

from hypothesis import given
from hypothesis import strategies as st

from smearsynth.base.linked_groups import merge_groups


@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30).flatmap(
        lambda groups: st.tuples(
            st.just(groups),
            st.lists(st.tuples(st.integers(0, len(groups) - 1), st.integers(0, len(groups) - 1)), max_size=12),
        )
    )
)
def test_merged_groups_are_the_connected_parts_named_after_their_first(case):
    groups, links = case
    merged = merge_groups(groups, links)
    parts = {group: {group} for group in groups}
    for a, b in links:
        union = parts[groups[a]] | parts[groups[b]]
        for group in union:
            parts[group] = union
    assert list(merged) == [min(parts[group]) for group in groups]


def test_no_link_changes_no_group():
    assert merge_groups(["b", "a", "b"], []) == ("b", "a", "b")
    assert merge_groups([], []) == ()
