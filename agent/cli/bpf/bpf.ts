import type { Command } from 'commander'
import type { CliContext } from '../context.ts'
import { DEFAULT_BPF_ROOT } from '../context.ts'
import { addBackend } from './backend.ts'
import { addCt } from './ct.ts'
import { addIpcache } from './ipcache.ts'
import { addIpmasq } from './ipmasq.ts'
import { addLb } from './lb.ts'
import { addMaglev } from './maglev.ts'
import { addMetrics } from './metrics.ts'
import { addSrcrange } from './srcrange.ts'

export function addBpf(program: Command, context: CliContext): void {
  const bpf = program
    .command('bpf')
    .summary('what is in the kernel, agent or not')
    .description('Read the pinned maps of this node. Works with no agent running; needs root.')
    .option(
      '--bpf-root <path>',
      'mount point of the bpffs (env WEFT_BPF_ROOT)',
      context.env['WEFT_BPF_ROOT'] || DEFAULT_BPF_ROOT,
    )
  addLb(bpf, context)
  addBackend(bpf, context)
  addMaglev(bpf, context)
  addCt(bpf, context)
  addIpcache(bpf, context)
  addIpmasq(bpf, context)
  addMetrics(bpf, context)
  addSrcrange(bpf, context)
}
