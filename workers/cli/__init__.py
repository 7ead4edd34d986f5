"""The command line `portcullis`, one group of verbs a file.

    app            which verbs there are; runs one and turns whatever goes wrong into a sentence and an exit code
    install        migrate                     demonstration  demo
    switch         preview, enforce, lift      runs           status, runs, cancel
    watching       watch                       queues         queues
    dead           dead, replay                processes      conductor
    doctor/        doctor, a check a file      letters        letters preview, letters send-test

A verb's module is imported when it is called. Results go to standard output, everything else to standard error.
"""
