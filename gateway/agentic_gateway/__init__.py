"""The model gateway: the one program that holds provider keys, and where every model call is charged.

A call passes its packages in this order: identify, route, reserve, call, relay, settle; `wires` are the protocols.
"""
