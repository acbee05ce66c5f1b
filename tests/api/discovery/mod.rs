mod descriptions;
mod invalid_documents;
mod own_schemas;
mod roles;
