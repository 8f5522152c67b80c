import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { z } from 'zod'
import type { EgressConfig } from '../config/egress.ts'
import type { MasqueradeList } from '../desired/masquerade.ts'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { Target } from '../reconcile/target.ts'
import type { Cidr } from '../types/address.ts'
import type { MasqueradeEntry } from '../types/datapath.ts'
import type { Problem } from '../types/problem.ts'
import { desiredMasquerade } from '../desired/masquerade.ts'
import { describeError } from '../lib/errors.ts'
import { Reconciler } from '../reconcile/reconciler.ts'
import { parseCidr } from '../types/address.ts'

export interface MasqueradeOptions {
  readonly target: Target<MasqueradeEntry>
  readonly config: EgressConfig['ipMasqAgent']
  readonly onProblems: (problems: readonly Problem[]) => void
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
  readonly auditMs: number
}

const OWNER = 'ip-masq-agent'
const POLL_MS = 1000
const EMPTY: MasqueradeList = { nonMasqueradeCIDRs: [], masqLinkLocal: false }

/** The file of ip-masq-agent. What it does not know it may say all the same. */
const FILE = z.object({
  nonMasqueradeCIDRs: z.array(z.string()).nullish(),
  masqLinkLocal: z.boolean().nullish(),
})

/**
 * Keeps the list of destinations that pods go to with their own addresses, from the configuration or from a file that is
 * looked at every second: mounted configuration comes and goes by renaming, which is easily missed otherwise.
 *
 * A file that is not there means the built-in ranges. One that cannot be read or understood changes nothing, also at start:
 * the map stays as it was, and a problem says why.
 */
export class Masquerade {
  readonly #options: MasqueradeOptions
  readonly #reconciler: Reconciler<MasqueradeEntry>
  #seen: string | undefined
  #cancel: (() => void) | undefined
  #stopped = false

  private constructor(options: MasqueradeOptions) {
    this.#options = options
    this.#reconciler = new Reconciler(options)
  }

  static async start(options: MasqueradeOptions): Promise<Masquerade> {
    const masquerade = new Masquerade(options)
    await masquerade.#reconciler.start()
    const { nonMasqueradeCIDRs, masqLinkLocal } = options.config.config
    const isGiven = nonMasqueradeCIDRs !== undefined || masqLinkLocal !== undefined
    if (isGiven) await masquerade.#apply(listOf(nonMasqueradeCIDRs ?? [], masqLinkLocal))
    else await masquerade.#look()
    return masquerade
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel?.()
    await this.#reconciler.stop()
  }

  async #look(): Promise<void> {
    try {
      const text = await textOf(this.#options.config.configFile)
      if (text !== this.#seen) {
        this.#seen = text
        await this.#apply(readList(text))
        this.#options.onProblems([])
      }
    } catch (error) {
      this.#options.onProblems([unusable(this.#options.config.configFile, error)])
    }
    if (!this.#stopped) this.#cancel = this.#options.clock.after(POLL_MS, () => void this.#look())
  }

  async #apply(list: MasqueradeList): Promise<void> {
    this.#reconciler.replace(OWNER, desiredMasquerade(list))
    this.#reconciler.allowPrune()
    await this.#reconciler.round()
  }
}

/** Empty when there is no such file. */
async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

/** Throws when the text is no such list. IPv6 prefixes are for another map. */
export function readList(text: string): MasqueradeList {
  const content: unknown = parse(text)
  if (content === null || content === undefined) return EMPTY
  const { nonMasqueradeCIDRs, masqLinkLocal } = FILE.parse(content)
  return listOf(
    (nonMasqueradeCIDRs ?? []).filter((prefix) => !prefix.includes(':')),
    masqLinkLocal ?? false,
  )
}

function listOf(texts: readonly string[], masqLinkLocal = false): MasqueradeList {
  const nonMasqueradeCIDRs = texts.map((text): Cidr => {
    const prefix = parseCidr(text.trim())
    if (prefix === undefined) throw new Error(`${JSON.stringify(text)} is not an IPv4 prefix`)
    return prefix
  })
  return { nonMasqueradeCIDRs, masqLinkLocal }
}

function unusable(file: string, error: unknown): Problem {
  return {
    code: 'ip-masq-config',
    message: `${file} cannot be used: ${describeError(error).split('\n')[0]}`,
    hint: 'write nonMasqueradeCIDRs as a list of IPv4 prefixes; what was read before stays in use',
  }
}
