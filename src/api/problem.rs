//! Errors as `application/problem+json` (RFC 9457), where no contract fixes another form.
