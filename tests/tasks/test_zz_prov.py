from sandbox.routing import Router
from tasks._requirements import ACTIONS
async def test_p(azure, spec, prefect_api):
    from flows.provision import provision
    import time
    t=time.time()
    try:
        await provision(spec)
    except Exception as e: print(type(e), str(e)[:2000])
    print("took", time.time()-t)
    router=Router(); seen={}
    for e in azure.ledger(service="arm"):
        try: 
            r=router.find(e["method"], e["path"])
        except Exception as x: print(repr(x)); break
        seen.setdefault(r.route.permission if hasattr(r,'route') else r[0].permission,set()).add(e["operation"])
    low={a.casefold() for a in ACTIONS}
    for k,v in sorted(seen.items()): print("  " if k.casefold() in low else "!!", k, v)
    print("unused:", sorted(a for a in ACTIONS if a.casefold() not in {k.casefold() for k in seen}))
