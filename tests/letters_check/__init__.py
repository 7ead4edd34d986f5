"""The letters, judged by tools that other people wrote: `make letters-check`, or `python -m tests.letters_check --help`.

    letters        every kind in every language, composed as members get it
    tools          which tools there are, and how they are installed
    byte_rules     7 bits, short lines, Python's strict parser        mail_reader      nodemailer's parser
    spam           SpamAssassin                                       markup           html-validate, size
    programs       what mail programs support (caniemail)             screens          Chromium: axe, contrast, facts, phone
    judging        all of them, and what they found

`pictures/` holds two for the README: some of `--pictures FOLDER`, cut and put side by side.

A kind or a language that is added is judged without a change here. The tests beside it run the same on a part, where the tools are there.
"""
