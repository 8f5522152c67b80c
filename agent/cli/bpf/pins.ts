import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import type { BpfMap } from '../../../native/index.ts'
import { CommandError } from '../errors.ts'

/** Opens maps by name; each is closed when the command is done. */
export type OpenMap = (name: string) => BpfMap

/**
 * Runs `read` with access to the pinned maps of this node. Needs no agent; needs root. The native library is loaded here
 * and nowhere else in the command line.
 *
 * @throws CommandError when nothing is pinned under the root, or a map is not there or may not be read
 */
export async function withPins<T>(command: Command, read: (open: OpenMap) => T | Promise<T>): Promise<T> {
  const { bpfRoot } = command.optsWithGlobals<{ bpfRoot: string }>()
  const directory = `${bpfRoot}/weft/maps`
  if (!existsSync(directory)) {
    throw new CommandError('no-pins', `no maps are pinned under ${directory}`, {
      hint: 'no agent has run here, or not in this mount namespace; name the bpffs with --bpf-root PATH or WEFT_BPF_ROOT',
    })
  }
  const { BpfError, BpfMap } = await import('../../../native/index.ts')
  const opened: BpfMap[] = []
  try {
    return await read((name) => {
      const map = BpfMap.openPinned(`${directory}/${name}`)
      opened.push(map)
      return map
    })
  } catch (cause) {
    if (!(cause instanceof BpfError)) throw cause
    throw new CommandError('map-unreadable', `cannot read the maps under ${directory}`, {
      cause,
      hint:
        cause.code === 'BPF_ENOENT'
          ? "the maps were made by another version: start this version's agent once"
          : cause.hint,
    })
  } finally {
    for (const map of opened) map.close()
  }
}
