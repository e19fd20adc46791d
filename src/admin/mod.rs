//! `/admin`: sessions of operators, the API of the pages, and its events.
