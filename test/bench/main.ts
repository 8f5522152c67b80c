import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Result } from './report.ts'
import { benchChange, CHANGE_IDS } from './change.ts'
import { benchDatapath, DATAPATH_IDS } from './datapath.ts'
import { benchFill, FILL_IDS } from './fill.ts'
import { benchLanes, LANES_IDS } from './lanes-bench.ts'
import { benchMaglev, MAGLEV_IDS } from './maglev.ts'
import { benchMesh, MESH_IDS } from './mesh.ts'
import { BUILD } from './place.ts'
import { render } from './report.ts'
import { benchStart, START_IDS } from './start-bench.ts'
import { benchState, STATE_IDS } from './state.ts'

/** Benchmarks that share what they set up; each is asked for the ids it has and that are wanted. */
const SUITES: readonly { ids: readonly string[]; run: (ids: ReadonlySet<string>) => Promise<Result[]> }[] = [
  { ids: DATAPATH_IDS, run: benchDatapath },
  { ids: STATE_IDS, run: benchState },
  { ids: LANES_IDS, run: benchLanes },
  { ids: FILL_IDS, run: benchFill },
  { ids: START_IDS, run: benchStart },
  { ids: CHANGE_IDS, run: benchChange },
  { ids: MAGLEV_IDS, run: benchMaglev },
  { ids: MESH_IDS, run: benchMesh },
]

const known = SUITES.flatMap((suite) => suite.ids)
const asked = (process.env['ONLY'] ?? '').split(/[\s,]+/).filter(Boolean)
const unknown = asked.filter((id) => !known.includes(id))
if (unknown.length > 0) {
  process.stderr.write(`no such benchmark: ${unknown.join(', ')}; there are ${known.join(', ')}\n`)
  process.exit(2)
}

const results: Result[] = []
for (const suite of SUITES) {
  const ids = new Set(suite.ids.filter((id) => asked.length === 0 || asked.includes(id)))
  if (ids.size === 0) continue
  const start = performance.now()
  results.push(...(await suite.run(ids)))
  process.stderr.write(`measured ${[...ids].join(', ')} in ${((performance.now() - start) / 1000).toFixed(0)} s\n`)
}
process.stdout.write(render(results))
mkdirSync(BUILD, { recursive: true })
writeFileSync(path.join(BUILD, 'bench.json'), `${JSON.stringify(results, undefined, 2)}\n`)
