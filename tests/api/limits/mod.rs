mod answer_size;
mod resource_size;
