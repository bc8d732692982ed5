"""A person explained, in numbers and in the words of the owner: twins, what moves the decision, a way out."""
