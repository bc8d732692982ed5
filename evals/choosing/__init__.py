"""Parts of choosing among trained models: what is required of them, and which run of a setting is handed out."""
