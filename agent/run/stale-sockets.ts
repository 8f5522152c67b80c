import type { BpfMap, InetSocket } from '../../native/index.ts'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { Tables } from '../state/tables.ts'
import type { SocketTable } from '../targets/stale-sockets.ts'
import type { Address } from '../types/address.ts'
import { SocketDiag, SocketState } from '../../native/index.ts'
import { describeError } from '../lib/errors.ts'
import { encoded } from '../maps/codec.ts'
import { REVSK_MAP, revSocketKey } from '../maps/revsk.ts'
import { isGone, networkNamespaces } from '../targets/network-namespaces.ts'
import { StaleSockets } from '../targets/stale-sockets.ts'
import { cidrContains, formatAddress } from '../types/address.ts'

interface Parts {
  readonly maps: Readonly<Record<string, BpfMap>>
  readonly cgroupRoot: string
  readonly tables: Tables
  readonly clock: Clock
  readonly log: Log
}

/** Ends sockets below the cgroup that the programs sent to backends that are gone. */
export function openStaleSockets({ maps, cgroupRoot, tables, clock, log }: Parts): StaleSockets<InetSocket> {
  const asked = maps[REVSK_MAP.name]!
  return new StaleSockets<InetSocket>({
    namespaces: () => networkNamespaces(cgroupRoot),
    open: ({ path }) => {
      try {
        return socketTable(SocketDiag.open(path), asked)
      } catch (error) {
        if (isGone(error)) return undefined
        throw error
      }
    },
    isTranslated: (socket) => asked.lookup(rememberedAs(socket)) !== undefined,
    deserted: () => desertedIn(tables),
    onDestroyed: (sockets) => log.debug({ sockets }, 'sockets of removed backends ended'),
    onError: (error) => log.warn({ err: describeError(error) }, 'sockets of removed backends could not be ended'),
    clock,
  })
}

/**
 * Addresses that a pod can have and none has. Of what is in no node's pod prefixes nobody knows whether it lives: services may
 * lead to anything.
 */
export function desertedIn(tables: Pick<Tables, 'nodes' | 'pods' | 'ips'>): (address: Address) => boolean {
  const prefixes = [...tables.nodes.values()].flatMap((node) => node.podCidrs)
  const pods = new Set([...tables.pods.values()].map((pod) => pod.address))
  return (address) =>
    prefixes.some((prefix) => cidrContains(prefix, address)) &&
    !pods.has(address) &&
    [...tables.ips.by('prefix', `${formatAddress(address)}/32`)].length === 0
}

function rememberedAs({ cookie, destination, destinationPort }: InetSocket): Buffer {
  return encoded(revSocketKey, { cookie, backend: destination as Address, port: destinationPort })
}

function socketTable(diag: SocketDiag, asked: BpfMap): SocketTable<InetSocket> {
  const { ESTABLISHED, SYN_SENT, FIN_WAIT1, CLOSE_WAIT } = SocketState
  return {
    // A connected UDP socket is "established".
    list: (protocol, port) => diag.list(protocol, [ESTABLISHED, SYN_SENT, FIN_WAIT1, CLOSE_WAIT], port),
    destroy: (socket) => {
      if (!diag.destroy(socket)) return false
      // It has no destination any more, by which its end would be noticed.
      asked.delete(rememberedAs(socket))
      return true
    },
    close: () => diag.close(),
  }
}
