// SPDX-License-Identifier: GPL-2.0-or-later
// The guest's board (hv/platform.h has the addresses). The PCI memory window's numbers are replaced at run time (hv/acpi.c).
DefinitionBlock ("", "DSDT", 2, "STASIS", "BOARD", 1)
{
    // S5 only: SLP_TYP 5 (hv/pm.c)
    Name (\_S5, Package () { 5, 5, 0, 0 })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (_BBN, 0)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0, 0, 1)
                IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0000, 0x0CF7, 0, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0D00, 0xFFFF, 0, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0, 0xC0000000, 0xF7FFFFFF, 0, 0x38000000)
            })

            // GSI = 16 + (device + pin) % 4, as pci_gsi() and the MP table have it
            Name (_PRT, Package ()
            {
                Package () { 0x0000FFFF, 0, 0, 16 }, Package () { 0x0000FFFF, 1, 0, 17 }, Package () { 0x0000FFFF, 2, 0, 18 }, Package () { 0x0000FFFF, 3, 0, 19 },
                Package () { 0x0001FFFF, 0, 0, 17 }, Package () { 0x0001FFFF, 1, 0, 18 }, Package () { 0x0001FFFF, 2, 0, 19 }, Package () { 0x0001FFFF, 3, 0, 16 },
                Package () { 0x0002FFFF, 0, 0, 18 }, Package () { 0x0002FFFF, 1, 0, 19 }, Package () { 0x0002FFFF, 2, 0, 16 }, Package () { 0x0002FFFF, 3, 0, 17 },
                Package () { 0x0003FFFF, 0, 0, 19 }, Package () { 0x0003FFFF, 1, 0, 16 }, Package () { 0x0003FFFF, 2, 0, 17 }, Package () { 0x0003FFFF, 3, 0, 18 },
                Package () { 0x0004FFFF, 0, 0, 16 }, Package () { 0x0004FFFF, 1, 0, 17 }, Package () { 0x0004FFFF, 2, 0, 18 }, Package () { 0x0004FFFF, 3, 0, 19 },
                Package () { 0x0005FFFF, 0, 0, 17 }, Package () { 0x0005FFFF, 1, 0, 18 }, Package () { 0x0005FFFF, 2, 0, 19 }, Package () { 0x0005FFFF, 3, 0, 16 },
                Package () { 0x0006FFFF, 0, 0, 18 }, Package () { 0x0006FFFF, 1, 0, 19 }, Package () { 0x0006FFFF, 2, 0, 16 }, Package () { 0x0006FFFF, 3, 0, 17 },
                Package () { 0x0007FFFF, 0, 0, 19 }, Package () { 0x0007FFFF, 1, 0, 16 }, Package () { 0x0007FFFF, 2, 0, 17 }, Package () { 0x0007FFFF, 3, 0, 18 },
                Package () { 0x0008FFFF, 0, 0, 16 }, Package () { 0x0008FFFF, 1, 0, 17 }, Package () { 0x0008FFFF, 2, 0, 18 }, Package () { 0x0008FFFF, 3, 0, 19 },
                Package () { 0x0009FFFF, 0, 0, 17 }, Package () { 0x0009FFFF, 1, 0, 18 }, Package () { 0x0009FFFF, 2, 0, 19 }, Package () { 0x0009FFFF, 3, 0, 16 },
                Package () { 0x000AFFFF, 0, 0, 18 }, Package () { 0x000AFFFF, 1, 0, 19 }, Package () { 0x000AFFFF, 2, 0, 16 }, Package () { 0x000AFFFF, 3, 0, 17 },
                Package () { 0x000BFFFF, 0, 0, 19 }, Package () { 0x000BFFFF, 1, 0, 16 }, Package () { 0x000BFFFF, 2, 0, 17 }, Package () { 0x000BFFFF, 3, 0, 18 },
                Package () { 0x000CFFFF, 0, 0, 16 }, Package () { 0x000CFFFF, 1, 0, 17 }, Package () { 0x000CFFFF, 2, 0, 18 }, Package () { 0x000CFFFF, 3, 0, 19 },
                Package () { 0x000DFFFF, 0, 0, 17 }, Package () { 0x000DFFFF, 1, 0, 18 }, Package () { 0x000DFFFF, 2, 0, 19 }, Package () { 0x000DFFFF, 3, 0, 16 },
                Package () { 0x000EFFFF, 0, 0, 18 }, Package () { 0x000EFFFF, 1, 0, 19 }, Package () { 0x000EFFFF, 2, 0, 16 }, Package () { 0x000EFFFF, 3, 0, 17 },
                Package () { 0x000FFFFF, 0, 0, 19 }, Package () { 0x000FFFFF, 1, 0, 16 }, Package () { 0x000FFFFF, 2, 0, 17 }, Package () { 0x000FFFFF, 3, 0, 18 },
                Package () { 0x0010FFFF, 0, 0, 16 }, Package () { 0x0010FFFF, 1, 0, 17 }, Package () { 0x0010FFFF, 2, 0, 18 }, Package () { 0x0010FFFF, 3, 0, 19 },
                Package () { 0x0011FFFF, 0, 0, 17 }, Package () { 0x0011FFFF, 1, 0, 18 }, Package () { 0x0011FFFF, 2, 0, 19 }, Package () { 0x0011FFFF, 3, 0, 16 },
                Package () { 0x0012FFFF, 0, 0, 18 }, Package () { 0x0012FFFF, 1, 0, 19 }, Package () { 0x0012FFFF, 2, 0, 16 }, Package () { 0x0012FFFF, 3, 0, 17 },
                Package () { 0x0013FFFF, 0, 0, 19 }, Package () { 0x0013FFFF, 1, 0, 16 }, Package () { 0x0013FFFF, 2, 0, 17 }, Package () { 0x0013FFFF, 3, 0, 18 },
                Package () { 0x0014FFFF, 0, 0, 16 }, Package () { 0x0014FFFF, 1, 0, 17 }, Package () { 0x0014FFFF, 2, 0, 18 }, Package () { 0x0014FFFF, 3, 0, 19 },
                Package () { 0x0015FFFF, 0, 0, 17 }, Package () { 0x0015FFFF, 1, 0, 18 }, Package () { 0x0015FFFF, 2, 0, 19 }, Package () { 0x0015FFFF, 3, 0, 16 },
                Package () { 0x0016FFFF, 0, 0, 18 }, Package () { 0x0016FFFF, 1, 0, 19 }, Package () { 0x0016FFFF, 2, 0, 16 }, Package () { 0x0016FFFF, 3, 0, 17 },
                Package () { 0x0017FFFF, 0, 0, 19 }, Package () { 0x0017FFFF, 1, 0, 16 }, Package () { 0x0017FFFF, 2, 0, 17 }, Package () { 0x0017FFFF, 3, 0, 18 },
                Package () { 0x0018FFFF, 0, 0, 16 }, Package () { 0x0018FFFF, 1, 0, 17 }, Package () { 0x0018FFFF, 2, 0, 18 }, Package () { 0x0018FFFF, 3, 0, 19 },
                Package () { 0x0019FFFF, 0, 0, 17 }, Package () { 0x0019FFFF, 1, 0, 18 }, Package () { 0x0019FFFF, 2, 0, 19 }, Package () { 0x0019FFFF, 3, 0, 16 },
                Package () { 0x001AFFFF, 0, 0, 18 }, Package () { 0x001AFFFF, 1, 0, 19 }, Package () { 0x001AFFFF, 2, 0, 16 }, Package () { 0x001AFFFF, 3, 0, 17 },
                Package () { 0x001BFFFF, 0, 0, 19 }, Package () { 0x001BFFFF, 1, 0, 16 }, Package () { 0x001BFFFF, 2, 0, 17 }, Package () { 0x001BFFFF, 3, 0, 18 },
                Package () { 0x001CFFFF, 0, 0, 16 }, Package () { 0x001CFFFF, 1, 0, 17 }, Package () { 0x001CFFFF, 2, 0, 18 }, Package () { 0x001CFFFF, 3, 0, 19 },
                Package () { 0x001DFFFF, 0, 0, 17 }, Package () { 0x001DFFFF, 1, 0, 18 }, Package () { 0x001DFFFF, 2, 0, 19 }, Package () { 0x001DFFFF, 3, 0, 16 },
                Package () { 0x001EFFFF, 0, 0, 18 }, Package () { 0x001EFFFF, 1, 0, 19 }, Package () { 0x001EFFFF, 2, 0, 16 }, Package () { 0x001EFFFF, 3, 0, 17 },
                Package () { 0x001FFFFF, 0, 0, 19 }, Package () { 0x001FFFFF, 1, 0, 16 }, Package () { 0x001FFFFF, 2, 0, 17 }, Package () { 0x001FFFFF, 3, 0, 18 }
            })

            Device (ISA)
            {
                Name (_ADR, 0x001F0000)

                Device (PIC)
                {
                    Name (_HID, EisaId ("PNP0000"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0020, 0x0020, 1, 2)
                        IO (Decode16, 0x00A0, 0x00A0, 1, 2)
                        IO (Decode16, 0x04D0, 0x04D0, 1, 2)
                        IRQNoFlags () { 2 }
                    })
                }

                Device (TIMR)
                {
                    Name (_HID, EisaId ("PNP0100"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0040, 0x0040, 1, 4)
                    })
                }

                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0070, 0x0070, 1, 2)
                        IRQNoFlags () { 8 }
                    })
                }

                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 1)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03F8, 0x03F8, 1, 8)
                        IRQNoFlags () { 4 }
                    })
                }

                // ports of the board itself: port 61h, POST code, port 92h, delay, PM block
                Device (MISC)
                {
                    Name (_HID, EisaId ("PNP0C02"))
                    Name (_UID, 1)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0061, 0x0061, 1, 1)
                        IO (Decode16, 0x0080, 0x0080, 1, 1)
                        IO (Decode16, 0x0092, 0x0092, 1, 1)
                        IO (Decode16, 0x00B2, 0x00B2, 1, 2)
                        IO (Decode16, 0x00ED, 0x00ED, 1, 1)
                        IO (Decode16, 0x0600, 0x0600, 1, 0x10)
                    })
                }
            }
        }

        Device (HPET)
        {
            Name (_HID, EisaId ("PNP0103"))
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadOnly, 0xFED00000, 0x400)
            })
        }

        // ECAM of bus 0: what is not claimed here Linux does not use
        Device (MRES)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, 2)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xFC000000, 0x00100000)
            })
        }
    }
}
