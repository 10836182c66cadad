# Plain codes of about 300 px.
import io
import time

import segno

for kind, options in [("png", {"scale": 9}), ("svg", {"scale": 9})]:
    start, count = time.process_time(), 0
    while time.process_time() - start < 2:
        code = segno.make_qr("https://sho.rt/spring?qr=4c9", error="m")
        code.save(io.BytesIO(), kind=kind, border=4, **options)
        count += 1
    print("segno plain", kind, count / (time.process_time() - start))
