"""What is held back: changes that could not be delivered, and a pause of delivery: `audience-sync parked`, `pause`."""
