"""Room 4: places that run code, behind one seam."""
