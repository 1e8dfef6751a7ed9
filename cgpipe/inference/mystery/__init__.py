"""The claims of Chatterjee and Zielinski (2022), "On the Generalization Mystery", as tests."""
