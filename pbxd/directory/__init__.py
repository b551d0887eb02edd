"""Who there is and how to reach them: accounts, users, devices, extensions, trunks, keys, and the registrar.

model           the values                                  passwords       made, hashed, never kept
snapshot        all of them, looked up in memory            sources         whose calls an address sends
declared        what the file declares, made true in the store
accounts        the directory: snapshot, store and file in one
authentication  who sent this request                       registrar       where a user's phones are
binding         one phone's registration                    trunks          our registrations at providers
keys            API keys                                    first_start     what an empty house is given
reading         rows to values                              resources       what an account has, by kind
administration  changes by hand: checked, written down      tenants         accounts, made, exported, imported
"""
