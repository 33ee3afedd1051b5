"""The networks. None of them knows diffusion, training or the toy world."""
