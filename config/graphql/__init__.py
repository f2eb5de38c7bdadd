"""The GraphQL root: schema, policy table, limits and the guarded view. The building blocks are accounts/graphql/."""
