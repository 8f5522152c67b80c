/**
 * A process that opens the datapath and stays: the tests kill it, and start another one. Prints one JSON line; ends in order
 * when its standard input does.
 */
import { readdirSync } from 'node:fs'
import path from 'node:path'
import type { DatapathOptions, ProgramHandle } from '../../agent/targets/programs.ts'
import type { SysctlReport } from '../../agent/targets/datapath/sysctl.ts'
import { describeError, hintOf } from '../../agent/lib/errors.ts'
import { Datapath } from '../../agent/targets/programs.ts'
import { BpfLink } from '../../native/index.ts'

export interface ChildCommand {
  readonly options: DatapathOptions
  readonly podDevices: readonly string[]
  readonly remove: boolean
}

export type ChildReport =
  | {
      readonly pid: number
      readonly programs: readonly ProgramHandle[]
      readonly sysctls: readonly SysctlReport[]
      readonly mapIds: Readonly<Record<string, number>>
      /** Pin → ids of link and program. */
      readonly links: Readonly<Record<string, { readonly id: number; readonly progId: number }>>
    }
  | { readonly error: { readonly code: string; readonly message: string; readonly hint: string | undefined } }

function say(report: ChildReport): void {
  process.stdout.write(`${JSON.stringify(report)}\n`)
}

const { options, podDevices, remove } = JSON.parse(process.argv[2] ?? '') as ChildCommand
try {
  if (remove) Datapath.remove(options.bpfRoot)
  const datapath = remove ? undefined : await Datapath.open(options)
  datapath?.setPodDevices(podDevices)
  say({
    pid: process.pid,
    programs: datapath?.programs ?? [],
    sysctls: datapath?.sysctls ?? [],
    mapIds: Object.fromEntries(Object.entries(datapath?.maps ?? {}).map(([name, map]) => [name, map.info().id])),
    links: datapath === undefined ? {} : linksIn(path.join(options.bpfRoot, 'weft/links')),
  })
  process.stdin.resume().on('end', () => datapath?.close())
} catch (error) {
  const code = (error as { code?: unknown }).code
  say({ error: { code: String(code), message: describeError(error), hint: hintOf(error) } })
  process.exitCode = 1
}

function linksIn(directory: string): Record<string, { id: number; progId: number }> {
  return Object.fromEntries(
    readdirSync(directory).map((name) => {
      using link = BpfLink.openPinned(path.join(directory, name))
      const { id, progId } = link.info()
      return [name, { id, progId }]
    }),
  )
}
