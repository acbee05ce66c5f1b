//! `/Schemas`, `/ResourceTypes`, `/ServiceProviderConfig`, and the documents that an operator adds.

mod descriptions;
mod invalid_documents;
mod own_schemas;
mod roles;
