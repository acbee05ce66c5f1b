//! Limits: a request or resource at each of them, and just above.

mod answer_size;
mod indexed_values;
mod many_values;
mod memory;
mod requests;
mod resource_size;
mod work;
