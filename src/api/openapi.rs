//! The description of the REST API: OpenAPI 3.1, made from the handlers.

use utoipa::OpenApi;

#[derive(Debug, OpenApi)]
#[openapi(info(title = "Castway"))]
pub struct Description;
