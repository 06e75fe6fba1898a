"""What only the course needs: quizzes, and later exercises. The package itself does not know it."""
