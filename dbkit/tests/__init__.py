"""The tests of dbkit; they stand outside its floors."""
