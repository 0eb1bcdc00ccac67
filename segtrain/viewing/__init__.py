"""What `segtrain view` is made of: a page, the server it comes from, and what the server answers."""
