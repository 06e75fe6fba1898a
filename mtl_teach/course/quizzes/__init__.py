"""One module per chapter: quiz_01.py holds the questions of chapter 01. See mtl_teach/course/quiz.py for the format."""
