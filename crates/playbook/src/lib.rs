//! The playbook: the reviewed, versioned agreement between marketing and sales, as a file.

pub mod reps;
