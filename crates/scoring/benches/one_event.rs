//! What it costs to take one event into a lead's score.

fn main() {}
