import type { Case } from '../run.ts'
import { CHOOSE } from './choose.ts'
import { DEVICES } from './devices.ts'
import { DSR } from './dsr.ts'
import { DSR_RECEIVE } from './dsr-receive.ts'
import { FORWARD } from './forward.ts'
import { FRAGMENTS } from './fragments.ts'
import { ICMP_ERRORS } from './icmp-errors.ts'
import { ICMP_SENT } from './icmp-sent.ts'
import { INSIDE } from './inside.ts'
import { MASQUERADE } from './masquerade.ts'
import { OPENING } from './opening.ts'
import { OWN } from './own.ts'
import { PORTS } from './ports.ts'
import { REFUSE } from './refuse.ts'
import { SOURCE_RANGES } from './source-ranges.ts'
import { STATE } from './state.ts'

/** Every packet table, by subject. */
export const TABLES: readonly (readonly [subject: string, cases: readonly Case[]])[] = [
  ['forwarding', FORWARD],
  ['refusing', REFUSE],
  ['source ranges', SOURCE_RANGES],
  ['choosing', CHOOSE],
  ['devices', DEVICES],
  ['flow state', STATE],
  ['flows that open', OPENING],
  ['source ports', PORTS],
  ['clients on this node', INSIDE],
  ['what the node sends', OWN],
  ['masquerading', MASQUERADE],
  ['fragments', FRAGMENTS],
  ['ICMP errors', ICMP_ERRORS],
  ['ICMP errors of our own', ICMP_SENT],
  ['DSR', DSR],
  ['DSR at the backend', DSR_RECEIVE],
]
