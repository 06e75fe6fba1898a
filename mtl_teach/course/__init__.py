"""What only the course needs: quizzes and exercises. The package itself does not know it.

    check(id, answer) -> checking.py     finds the exercise (registry.py), runs its check, shows the outcome (outcome.py)
    a check           -> exercises/ch04.py, in the words of expect.py and looking.py; asks the learner's answer through answers.py
    the answer        -> learner.py holds it, calls it under guard.py, replies in plain values (wire.py)
    what is earned    -> progress.py (the file), page.py (the page)
    teachers          -> teacher.py (settings, own exercises);  authors -> release.py (from solutions/ to exercises/)
"""
