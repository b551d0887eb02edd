"""Who there is and how to reach them."""
