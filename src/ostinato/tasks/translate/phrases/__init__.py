"""Translation phrase by phrase: what pairs say when their words are aligned and counted, without a network."""
