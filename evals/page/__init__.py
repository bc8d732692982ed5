"""Parts of the report's page: the data that it holds, and in HTML, CSS and JavaScript what shows them."""
