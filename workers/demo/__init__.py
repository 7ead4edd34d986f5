"""A whole system on one machine: embedded servers, a reference main app with realistic people, a real mail receiver.

`make demo` tells the story from the switch to the last letter and checks it; `make up` keeps the same system running. The tests and
the bench stand on the same pieces.
"""
