"""Operations with a native fast path: each one has a plain torch twin in `reference`."""
