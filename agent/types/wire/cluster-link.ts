import type { JsonObject } from './go-json.ts'
import { boolField, field, goString, goStruct, isObject, stringField, WireError } from './go-json.ts'

/**
 * What a kvstoremesh knows of its connection to the cluster it copies: the field `link` of the cluster-config it writes, which
 * Cilium's programs skip. Written when it changes, not while it stays as it is.
 *
 * ```json
 * {"connected":false,"silentSince":"2026-11-21T10:00:00.000Z","at":"2026-11-21T10:00:06.000Z","reason":"…"}
 * ```
 */
export interface ClusterLink {
  /** A session stands. One that says nothing is silent all the same. */
  readonly connected: boolean
  /** Last evidence of life; absent: the cluster lives. Milliseconds since the epoch, by the clock of whoever wrote it. */
  readonly silentSince?: number | undefined
  /** When this was written, by the same clock. */
  readonly at?: number | undefined
  /** For people; empty when all is well. */
  readonly reason: string
}

/** ASCII only, so that the bytes are the same in any form in which values are held. */
export function encodeLink(link: ClusterLink): string {
  return goStruct([
    ['connected', String(link.connected)],
    ['silentSince', timeText(link.silentSince)],
    ['at', timeText(link.at)],
    ['reason', link.reason === '' ? undefined : ascii(goString(link.reason))],
  ])
}

/** Undefined when the record has none, as other people's have, or one that is not ours: nothing is told about the link then. */
export function decodeLink(record: JsonObject): ClusterLink | undefined {
  const link = field(record, 'link')
  if (!isObject(link)) return undefined
  try {
    return {
      connected: boolField(link, 'connected'),
      silentSince: timeField(link, 'silentSince'),
      at: timeField(link, 'at'),
      reason: stringField(link, 'reason'),
    }
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}

function timeText(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : `"${new Date(ms).toISOString()}"`
}

function timeField(object: JsonObject, name: string): number | undefined {
  const text = stringField(object, name)
  if (text === '') return undefined
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) throw new WireError(`field ${name} is not a time`)
  return ms
}

function ascii(json: string): string {
  return json.replace(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
