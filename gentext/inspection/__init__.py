"""How a trained model read one text: token by token, by attention and gradients, and in ways of each family's own."""
