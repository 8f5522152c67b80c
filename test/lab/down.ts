import { existsSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { destroyCgroup } from './cgroup.ts'
import { daemonOf, stopDaemon } from './daemons.ts'
import type { LabPaths } from './paths.ts'
import { step } from './progress.ts'
import { topologyOf } from './shape.ts'

/** Stops the daemons in order, then removes every trace. Works on whatever is left of a lab. */
export async function down(lab: LabPaths): Promise<boolean> {
  const wasThere = existsSync(lab.state) || existsSync(lab.cgroup)
  await step('stopping the agents', async () => {
    const nodes = topologyOf(lab).clusters.flatMap((cluster) => cluster.nodes)
    const running = nodes.filter((node) => daemonOf(lab, node, 'agent') !== undefined)
    await Promise.all(running.map((node) => stopDaemon(lab, node, 'agent')))
  })
  await step('removing the hosts', () => tearDown(lab))
  return wasThere
}

/**
 * Kills everything in the lab's cgroup: with the last process of a namespace go its devices, routes, mounts and bpffs.
 * The state directory is last, so that a teardown that is cut off can be repeated.
 */
export async function tearDown(lab: LabPaths): Promise<void> {
  await destroyCgroup(lab.cgroup)
  if (!existsSync(lab.state)) return
  for (const entry of readdirSync(lab.state)) rmSync(path.join(lab.state, entry), { recursive: true, force: true })
  rmSync(lab.state, { recursive: true, force: true })
}
