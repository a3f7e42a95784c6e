"""What is promised: the requirements as data, and the API's wire form without input or output."""
