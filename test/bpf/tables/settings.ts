import type { Config } from '../world.ts'

/*
 * Each set of settings is one more program that the verifier has to walk, so cases share them where none of the settings of the
 * other cases can matter to it.
 */

/** Switches and times. */
export const OTHERWISE: Config = {
  cfg_dsr_info_always: true,
  cfg_no_backend_reject: false,
  cfg_tcp_syn_s: 5,
  cfg_tcp_established_s: 50,
  cfg_tcp_closing_s: 3,
}

/** Few source ports, and no errors to who asks for nothing. */
export const SCARCE: Config = { cfg_snat_port_min: 50000, cfg_snat_port_max: 50015, cfg_icmp_per_s: 0 }
