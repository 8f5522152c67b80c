import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { LabError } from './errors.ts'

/** Names a lab may have: they become directory and cgroup names. */
const LAB_NAME = /^[a-z0-9][a-z0-9-]{0,30}$/

/** Where one lab keeps its things. Two labs with different names share nothing. */
export interface LabPaths {
  readonly name: string
  /** /run/weft-lab, or /run/weft-lab-NAME: all state of this lab. */
  readonly state: string
  readonly lock: string
  /** This lab's directory in the cgroup v2 tree: every process of the lab lives below it. */
  readonly cgroup: string
  /** The checkout the lab runs from. */
  readonly root: string
}

export function labPaths(name: string | undefined): LabPaths {
  const label = name === undefined || name === '' || name === 'lab' ? 'lab' : name
  if (!LAB_NAME.test(label)) {
    throw new LabError('bad-lab-name', `lab name ${JSON.stringify(label)} cannot be used`, {
      hint: 'use 1 to 31 lower-case letters, digits and dashes (--name, WEFT_LAB)',
    })
  }
  const slug = label === 'lab' ? 'weft-lab' : `weft-lab-${label}`
  return {
    name: label,
    state: `/run/${slug}`,
    lock: `/run/${slug}.lock`,
    cgroup: path.join(cgroup2Mount(), slug),
    root: repositoryRoot(),
  }
}

/** The mount point of cgroup v2: /sys/fs/cgroup on most machines, a directory below it on hybrid ones. */
export function cgroup2Mount(mountinfo = readFileSync('/proc/self/mountinfo', 'utf8')): string {
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ')
    if (after?.startsWith('cgroup2 ') !== true) continue
    const mountPoint = before?.split(' ')[4]
    if (mountPoint !== undefined) return mountPoint
  }
  throw new LabError('no-cgroup2', 'no cgroup v2 hierarchy is mounted', {
    hint: 'mount -t cgroup2 none /sys/fs/cgroup (or boot with systemd.unified_cgroup_hierarchy=1)',
  })
}

/** The checkout: found by walking up, because this file runs from test/lab and from build/js/test/lab. */
function repositoryRoot(): string {
  for (let dir = import.meta.dirname; dir !== path.dirname(dir); dir = path.dirname(dir)) {
    if (existsSync(path.join(dir, 'tsconfig.json'))) return dir
  }
  throw new LabError('no-checkout', `no checkout of weft above ${import.meta.dirname}`)
}

export const clusterDir = (lab: LabPaths, cluster: string): string => path.join(lab.state, 'clusters', cluster)
export const hostDir = (lab: LabPaths, id: string): string => path.join(lab.state, id)
export const hostCgroup = (lab: LabPaths, id: string): string => path.join(lab.cgroup, id)
/** The cluster's own copy of what was applied to it, from which every other directory is filled. */
export const storeDir = (lab: LabPaths, cluster: string): string => path.join(clusterDir(lab, cluster), 'manifests')
export const hostsFile = (lab: LabPaths, cluster: string): string => path.join(clusterDir(lab, cluster), 'hosts')
export const builtFile = (lab: LabPaths, ...parts: string[]): string => path.join(lab.root, 'build', ...parts)
