mod descriptions;
mod own_schemas;
mod roles;
