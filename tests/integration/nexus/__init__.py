"""What the integration and fault tests share: nodes, projects, guests, waiting."""
