mod answer_size;
mod indexed_values;
mod requests;
mod resource_size;
