import type { Config } from '../config.ts'
import { describeError } from '../lib/errors.ts'
import { findNodePlace } from './node-place.ts'
import { Datapath } from '../targets/programs.ts'
import { RouteTarget } from '../targets/routes.ts'

/**
 * `weft agent --cleanup`: removes what agents left in the kernel, programs before maps, and routes to other nodes' pods. Traffic
 * to services ends here. Sysctls stay: nobody knows who else counts on them by now.
 *
 * @throws DatapathError `already-running` while an agent runs; nothing was removed then
 */
export async function cleanup(config: Config, tell: (line: string) => void): Promise<void> {
  Datapath.remove(config.bpfRoot)
  tell(`removed programs and maps under ${config.bpfRoot}/weft`)
  if (config.autoDirectNodeRoutes) await removeRoutes(config, tell)
}

async function removeRoutes(config: Config, tell: (line: string) => void): Promise<void> {
  const place = await findNodePlace(config).catch((error: unknown) => {
    tell(`routes were not looked for: ${describeError(error)}`)
    return undefined
  })
  if (place === undefined) return
  const routes = new RouteTarget(place.uplink)
  const prefixes = [...(await routes.load()).keys()]
  const failures = await routes.delete(prefixes)
  for (const error of failures.values()) throw error
  tell(`removed ${prefixes.length} routes by ${place.uplink}`)
}
