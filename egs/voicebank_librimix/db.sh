# shellcheck shell=bash
# Corpora that this site already has: set the variable of a corpus to its folder, and nothing is downloaded
# for it. Empty: below --downloads, downloaded there if it is missing.

export VOICEBANK_DEMAND=${VOICEBANK_DEMAND-}    # with clean_trainset_28spk_wav/, testset_txt/, logfiles/, ...
export LIBRISPEECH=${LIBRISPEECH-}              # LibriSpeech/, with train-clean-100/, SPEAKERS.TXT, ...
export WHAM_NOISE=${WHAM_NOISE-}                # wham_noise/, with tr/, cv/, tt/
export LIBRIMIX_METADATA=${LIBRIMIX_METADATA-}  # metadata/ of LibriMix, with Libri2Mix/*.csv
export LIBRIMIX=${LIBRIMIX-}                    # Libri2Mix/ that is already mixed, with wav16k/max/...
export DEMAND=${DEMAND-}                        # with DKITCHEN_16k/DKITCHEN/ch01.wav, ...
export FSDD=${FSDD-}                            # free-spoken-digit-dataset/, with recordings/
export NOISE=${NOISE-}                          # noise of your own: recordings of any format, rate and length
export RIRS=${RIRS-}                            # room impulse responses of your own, .wav or .mat
export SPEECH=${SPEECH-}                        # clean speech of your own: a table with utt,clean,speaker,text
export CUSTOM=${CUSTOM-}                        # a corpus of your own: train.csv, dev.csv, test.csv
