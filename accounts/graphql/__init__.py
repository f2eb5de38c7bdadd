"""What every app's schema.py is made of: context, loaders, scalars, nodes, keyset pages, mutations.

It lives in the leftmost app because schemas import only leftwards. The root schema and the guarded view are in
config/graphql/.
"""
