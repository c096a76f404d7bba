"""GraphQL itself: documents, context, errors, and what executes an operation."""
